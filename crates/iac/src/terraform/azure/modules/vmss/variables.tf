variable "name" {
  description = "Name of everything."
  type        = string
}

variable "resource_group" {
  description = "The region's resource group."
  type        = string
}

variable "location" {
  description = "Azure's name of the region."
  type        = string
}

variable "zones" {
  description = "Availability zones; none where the region has none."
  type        = list(string)
}

variable "subnet_id" {
  description = "Subnet of the machines."
  type        = string
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

variable "max_size" {
  description = "Most instances that autoscale may run."
  type        = number
}

variable "instance_type" {
  description = "VM size."
  type        = string
}

variable "image" {
  description = "Image version in a compute gallery that replicates it to every region of the app."
  type        = string
}

variable "port" {
  description = "TCP port of the instances."
  type        = number
}

variable "check_path" {
  description = "Path that answers 200 on a healthy instance."
  type        = string
}

variable "node_port" {
  description = "TCP port of the Lifeboat node."
  type        = number
}

variable "ssh_public_key" {
  description = "Public key of those who may log in."
  type        = string
}
