variable "name" {
  description = "Prefix of all names."
  type        = string
}

variable "short_name" {
  description = "The same in at most 32 characters, for load balancers."
  type        = string
}

variable "partition" {
  description = "Partition of ARNs, such as aws."
  type        = string
}

variable "network" {
  description = "Outputs of the region's network module."
  type = object({
    vpc_id             = string
    public_subnet_ids  = list(string)
    private_subnet_ids = list(string)
  })
}

variable "serving" {
  description = "Whether the region serves clients; from roles.auto.tfvars.json."
  type        = bool
}

variable "full_size" {
  description = "Instances that bear the whole load."
  type        = number
}

variable "standby_size" {
  description = "Instances while another region serves."
  type        = number
}

variable "port" {
  description = "TCP port of the instances."
  type        = number
}

variable "protocol" {
  description = "What instances speak at that port: HTTP, or HTTPS where they end TLS themselves."
  type        = string
}

variable "check_path" {
  description = "Path that answers 200 on a healthy instance."
  type        = string
}

variable "certificate_arn" {
  description = "ACM certificate of the host name, in this region: a certificate does not reach beyond its region."
  type        = string
}

variable "kms_key_arn" {
  description = "The region's key."
  type        = string
}

variable "max_size" {
  description = "Most instances that the scaling policy may run."
  type        = number
}

variable "instance_type" {
  description = "EC2 instance type."
  type        = string
}

variable "image" {
  description = "AMI, in this region."
  type        = string
}

variable "reserved" {
  description = "Instances held in reserve, by zone. Billed like running ones."
  type        = map(number)
  default     = {}
}

variable "public" {
  description = "Whether a route leads here. Everything else is reached from the app's networks only."
  type        = bool
}

variable "clients" {
  description = "Address ranges of the app's networks, by region."
  type        = map(string)
}

variable "statements" {
  description = "IAM statements: the data that it needs, in this region."
  type        = any
  default     = []
}

variable "component" {
  description = "Name of the component; its environment lies in /etc/default below that name."
  type        = string
}

variable "environment" {
  description = "How it finds the data that it needs."
  type        = map(string)
}
