variable "name" {
  description = "Prefix of all names."
  type        = string
}

variable "partition" {
  description = "Partition of ARNs, such as aws."
  type        = string
}

variable "network" {
  description = "Outputs of the region's network module."
  type = object({
    private_subnet_ids = list(string)
  })
}

variable "serving" {
  description = "Whether the region serves clients; from roles.auto.tfvars.json."
  type        = bool
}

variable "full_size" {
  description = "Nodes that bear the whole load."
  type        = number
}

variable "standby_size" {
  description = "Nodes while another region serves."
  type        = number
}

variable "kms_key_arn" {
  description = "The region's key."
  type        = string
}

variable "max_size" {
  description = "Most nodes that an autoscaler may run."
  type        = number
}

variable "instance_type" {
  description = "EC2 instance type of the nodes."
  type        = string
}

variable "kubernetes_version" {
  description = "Version of the control plane, the same in every region."
  type        = string
}

variable "clients" {
  description = "Address ranges that reach the API, by region: the app's networks."
  type        = map(string)
}

variable "admin_arns" {
  description = "Roles that administer the cluster, besides whoever creates it."
  type        = list(string)
}

variable "namespace" {
  description = "Namespace of the app's pods."
  type        = string
}

variable "statements" {
  description = "IAM statements: the data that the app's pods need, in this region."
  type        = any
  default     = []
}
